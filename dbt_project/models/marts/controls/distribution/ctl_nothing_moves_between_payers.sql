with

{{ told_bases() }},

{{ sums_by_payer('costs', ref('int_costs__undistributed')) }},

{{ sums_by_payer('charges', ref('fct_charges'), 'bill_payer_account_id') }},

{{ crossing_rules() }},

compared as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        crossing.rules as crossing_rules,
        coalesce({{ of_basis('costs') }}, 0) as cost_usd,
        coalesce({{ of_basis('charges') }}, 0) as charged_usd
    from bases
    left join costs
        on
            bases.billing_month = costs.billing_month
            and bases.payer_account_id = costs.payer_account_id
    left join charges
        on
            bases.billing_month = charges.billing_month
            and bases.payer_account_id = charges.payer_account_id
    left join crossing on bases.billing_month = crossing.billing_month

),

final as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        cost_usd as expected_usd,
        charged_usd as actual_usd,
        cost_usd - charged_usd as residual_usd,
        cost_usd = charged_usd or crossing_rules is not null as is_passed,
        coalesce('asked for by: ' || crossing_rules, 'no rule may') as evidence
    from compared

)

select * from final
