with

{{ billed_months() }},

rules as (

    select
        billing_month,
        rule,
        max(case when key = 'to the namespaces that hold it' then 1 else 0 end)
        = 1 as is_of_quotas,
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
        )
        || case
            when count(*) filter (where rules.cost_count = 0 and rules.is_of_quotas) > 0
                then '; quotas come from sources that are asked for them (docs/sources.md)'
            else ''
        end as evidence
    from months
    left join rules on months.billing_month = rules.billing_month
    group by months.billing_month

)

select * from final
