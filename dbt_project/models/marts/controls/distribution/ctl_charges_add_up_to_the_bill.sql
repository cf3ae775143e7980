with

totals as (

    select * from {{ ref('rpt_month_totals') }}
    -- A basis that the exports of a payer do not tell obeys no law.
    where bill_usd is not null

),

{{ sums_by_payer('charges', ref('fct_charges'), 'bill_payer_account_id') }},

{{ crossing_rules() }},

by_payer as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        bases.bill_usd,
        coalesce({{ of_basis('charges') }}, 0) as charged_usd,
        crossing.rules as crossing_rules
    from totals as bases
    left join charges
        on
            bases.billing_month = charges.billing_month
            and bases.payer_account_id = charges.payer_account_id
    left join crossing on bases.billing_month = crossing.billing_month

),

-- Where a rule may cross payers, the law holds over all of them together.
compared as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        crossing_rules,
        case
            when crossing_rules is null then bill_usd
            else sum(bill_usd) over (partition by billing_month, cost_basis)
        end as expected_usd,
        case
            when crossing_rules is null then charged_usd
            else sum(charged_usd) over (partition by billing_month, cost_basis)
        end as actual_usd
    from by_payer

),

final as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        expected_usd,
        actual_usd,
        expected_usd - actual_usd as residual_usd,
        expected_usd = actual_usd as is_passed,
        coalesce('over all payers, which these rules cross: ' || crossing_rules, 'charges')
            as evidence
    from compared

)

select * from final
