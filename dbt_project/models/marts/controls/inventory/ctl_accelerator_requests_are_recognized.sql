with

{{ billed_months() }},

unrecognized as (

    select
        billing_month,
        count(*) as request_count,
        min(accelerators_requested || ' on ' || instance_type || ' (' || rule || ')')
            as example
    from {{ source('split', 'accelerator_equivalents') }}
    where not is_recognized
    group by billing_month

),

final as (

    select
        months.billing_month,
        null::string as payer_account_id,
        null::string as cost_basis,
        {{ expects_none('unrecognized.request_count', '0') }}
        coalesce(unrecognized.request_count, 0)
        || ' kinds of request name a resource that no rule knows'
        || coalesce(', like ' || unrecognized.example, '') as evidence
    from months
    left join unrecognized on months.billing_month = unrecognized.billing_month

)

select * from final
