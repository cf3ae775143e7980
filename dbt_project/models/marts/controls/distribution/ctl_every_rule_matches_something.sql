with

{{ billed_months() }},

rules as (

    select
        billing_month,
        rule,
        sum(cost_count) as cost_count
    from {{ source('distribution', 'charge_rules') }}
    group by billing_month, rule

),

final as (

    select
        months.billing_month,
        null::string as payer_account_id,
        'amortized' as cost_basis,
        0 as expected_usd,
        0 as actual_usd,
        0 as residual_usd,
        count(*) filter (where rules.cost_count = 0) = 0 as is_passed,
        count(rules.rule) || ' rules'
        || coalesce(
            ', nothing matched: '
            || {{ list_text('rules.rule', 'rules.cost_count = 0') }},
            ''
        ) as evidence
    from months
    left join rules on months.billing_month = rules.billing_month
    group by months.billing_month

)

select * from final
